#include "textflag.h"

// See entry_linux_amd64.s, which this follows step by step.
#define ADDRESSES $0x2e000000
#define MEMORY    $0x04000000

#define RLIMIT_NOFILE $7

// SLACK is in nanoseconds.
#define PR_SET_TIMERSLACK $29
#define SLACK $4000000

#define SYS_write      $64
#define SYS_exit_group $94
#define SYS_prctl      $167
#define SYS_munmap     $215
#define SYS_prlimit64  $261
#define SYS_mmap       $222

DATA	noMemory<>+0(SB)/8, $"ZOut of "
DATA	noMemory<>+8(SB)/8, $"memory. "
DATA	noMemory<>+16(SB)/8, $"(#4.3.0)"
DATA	noMemory<>+24(SB)/2, $"\n\x00"
GLOBL	noMemory<>(SB), RODATA, $26

DATA	why<>+0(SB)/8, $"out of m"
DATA	why<>+8(SB)/8, $"emory at"
DATA	why<>+16(SB)/8, $" the sta"
DATA	why<>+24(SB)/8, $"rt: rais"
DATA	why<>+32(SB)/8, $"e ulimit"
DATA	why<>+40(SB)/8, $" -v, -d\n"
GLOBL	why<>(SB), RODATA, $48

DATA	traceback<>+0(SB)/8, $"GOTRACEB"
DATA	traceback<>+8(SB)/8, $"ACK=cras"
DATA	traceback<>+16(SB)/2, $"h\x00"
GLOBL	traceback<>(SB), RODATA, $18

DATA	processors<>+0(SB)/8, $"GOMAXPRO"
DATA	processors<>+8(SB)/8, $"CS=1\x00\x00\x00\x00"
GLOBL	processors<>(SB), RODATA, $16

TEXT postrider_start(SB),NOSPLIT|NOFRAME|TOPFRAME,$0
	MOVD	$0, R22
	B	begin<>(SB)

TEXT postrider_helper(SB),NOSPLIT|NOFRAME|TOPFRAME,$0
	MOVD	$1, R22
	B	begin<>(SB)

TEXT begin<>(SB),NOSPLIT|NOFRAME|TOPFRAME,$0
	MOVD	RSP, R19

	MOVD	$0, R0
	MOVD	ADDRESSES, R1
	MOVD	$0, R2
	MOVD	$0x4022, R3
	MOVD	$-1, R4
	MOVD	$0, R5
	MOVD	SYS_mmap, R8
	SVC
	CMN	$4095, R0
	BCS	fail
	MOVD	ADDRESSES, R1
	MOVD	SYS_munmap, R8
	SVC

	MOVD	$0, R0
	MOVD	MEMORY, R1
	MOVD	$3, R2
	MOVD	$0x22, R3
	MOVD	$-1, R4
	MOVD	$0, R5
	MOVD	SYS_mmap, R8
	SVC
	CMN	$4095, R0
	BCS	fail
	MOVD	MEMORY, R1
	MOVD	SYS_munmap, R8
	SVC

	MOVD	PR_SET_TIMERSLACK, R0
	MOVD	SLACK, R1
	MOVD	$0, R2
	MOVD	$0, R3
	MOVD	$0, R4
	MOVD	SYS_prctl, R8
	SVC

	MOVD	$0, R0
	MOVD	RLIMIT_NOFILE, R1
	MOVD	$0, R2
	SUB	$64, R19, R3
	MOVD	SYS_prlimit64, R8
	SVC
	CBNZ	R0, unlimited
	MOVD	-64(R19), R9
	CMP	$3, R9
	BLS	unlimited
	MOVD	R9, ·soft(SB)
	MOVD	$3, R9
	MOVD	R9, -64(R19)
	MOVD	$0, R0
	MOVD	RLIMIT_NOFILE, R1
	SUB	$64, R19, R2
	MOVD	$0, R3
	MOVD	SYS_prlimit64, R8
	SVC
unlimited:

	// R20: the first word of envp; R21: behind auxv's end.
	MOVD	0(R19), R9
	ADD	R9<<3, R19, R20
	ADD	$16, R20
	MOVD	R20, R21
environment:
	MOVD.P	8(R21), R9
	CBNZ	R9, environment
auxiliary:
	MOVD.P	16(R21), R9
	CBNZ	R9, auxiliary

	SUB	R19, R21, R10
	ADD	$16, R10
	SUB	R10, R19, R11
	AND	$~15, R11
	MOVD	R11, R12
	MOVD	R19, R13
arguments:
	MOVD.P	8(R13), R9
	MOVD.P	R9, 8(R12)
	CMP	R20, R13
	BNE	arguments
	MOVD	$traceback<>(SB), R9
	MOVD.P	R9, 8(R12)
	MOVD	$processors<>(SB), R9
	MOVD.P	R9, 8(R12)
rest:
	MOVD.P	8(R13), R9
	MOVD.P	R9, 8(R12)
	CMP	R21, R13
	BNE	rest
	MOVD	R11, RSP
	B	_rt0_arm64_linux(SB)

fail:
	CBNZ	R22, complain
	MOVD	$1, R0
	MOVD	$noMemory<>(SB), R1
	MOVD	$26, R2
	MOVD	SYS_write, R8
	SVC
	CMP	$26, R0
	MOVD	$0, R0
	BEQ	exit
	MOVD	$111, R0
	B	exit
complain:
	MOVD	$2, R0
	MOVD	$why<>(SB), R1
	MOVD	$48, R2
	MOVD	SYS_write, R8
	SVC
	MOVD	$111, R0
exit:
	MOVD	SYS_exit_group, R8
	SVC
	BRK
