#include "textflag.h"

// What the runtime reserves at its start (page summaries, arena map, the first
// arena), with room to spare; see qmail-remote(8), LIMITS.
#define ADDRESSES $0x2e000000
#define MEMORY    $0x04000000

#define RLIMIT_NOFILE $7

// SLACK is in nanoseconds.
#define PR_SET_TIMERSLACK $29
#define SLACK $4000000

#define SYS_write      $1
#define SYS_mmap       $9
#define SYS_munmap     $11
#define SYS_prctl      $157
#define SYS_exit_group $231
#define SYS_prlimit64  $302

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

// postrider_start is entered by the kernel with the stack that it has laid out:
// argc, argv, nil, envp, nil, auxv (ELF psABI). There is no Go stack yet.
TEXT postrider_start(SB),NOSPLIT|NOFRAME|TOPFRAME,$0
	XORL	R15, R15
	JMP	begin<>(SB)

// postrider_helper is postrider_start of a program that reports to no qmail.
TEXT postrider_helper(SB),NOSPLIT|NOFRAME|TOPFRAME,$0
	MOVQ	$1, R15
	JMP	begin<>(SB)

TEXT begin<>(SB),NOSPLIT|NOFRAME|TOPFRAME,$0
	MOVQ	SP, BX

	// May addresses be reserved? (RLIMIT_AS)
	MOVQ	SYS_mmap, AX
	XORL	DI, DI
	MOVQ	ADDRESSES, SI
	XORL	DX, DX          // PROT_NONE
	MOVQ	$0x4022, R10    // MAP_PRIVATE|MAP_ANONYMOUS|MAP_NORESERVE
	MOVQ	$-1, R8
	XORL	R9, R9
	SYSCALL
	CMPQ	AX, $-4095
	JCC	fail
	MOVQ	AX, DI
	MOVQ	ADDRESSES, SI
	MOVQ	SYS_munmap, AX
	SYSCALL

	// May data be had? (RLIMIT_DATA, overcommitment) It is not touched.
	MOVQ	SYS_mmap, AX
	XORL	DI, DI
	MOVQ	MEMORY, SI
	MOVQ	$3, DX          // PROT_READ|PROT_WRITE
	MOVQ	$0x22, R10      // MAP_PRIVATE|MAP_ANONYMOUS
	MOVQ	$-1, R8
	XORL	R9, R9
	SYSCALL
	CMPQ	AX, $-4095
	JCC	fail
	MOVQ	AX, DI
	MOVQ	MEMORY, SI
	MOVQ	SYS_munmap, AX
	SYSCALL

	// Wake sleepers late: milliseconds are nothing to a time-out in seconds, and
	// the runtime's monitor, which asks to sleep for 20 microseconds at a time,
	// else wakes a hundred times in a delivery. A refusal is no matter.
	MOVQ	SYS_prctl, AX
	MOVQ	PR_SET_TIMERSLACK, DI
	MOVQ	SLACK, SI
	XORL	DX, DX
	XORL	R10, R10
	XORL	R8, R8
	SYSCALL

	// No descriptor above 2 may be opened until Lift, so that the runtime does
	// not read three files in /proc and /sys to learn of processor quotas that
	// GOMAXPROCS=1 makes no matter. Failing to look is what it does where there
	// is no /proc.
	MOVQ	SYS_prlimit64, AX
	XORL	DI, DI
	MOVQ	RLIMIT_NOFILE, SI
	XORL	DX, DX
	LEAQ	-64(BX), R10
	SYSCALL
	TESTQ	AX, AX
	JNZ	unlimited
	MOVQ	-64(BX), CX
	CMPQ	CX, $3
	JLS	unlimited
	MOVQ	CX, ·soft(SB)
	MOVQ	$3, -64(BX)
	MOVQ	SYS_prlimit64, AX
	XORL	DI, DI
	MOVQ	RLIMIT_NOFILE, SI
	LEAQ	-64(BX), DX
	XORL	R10, R10
	SYSCALL
unlimited:

	// Find the end of auxv: R9 is the first word of envp, R8 behind auxv's end.
	MOVQ	0(BX), CX
	LEAQ	16(BX)(CX*8), R9
	MOVQ	R9, R8
environment:
	MOVQ	0(R8), AX
	ADDQ	$8, R8
	TESTQ	AX, AX
	JNZ	environment
auxiliary:
	MOVQ	0(R8), AX
	ADDQ	$16, R8
	TESTQ	AX, AX
	JNZ	auxiliary

	// A copy of all below, with two more words in front of envp, so that they
	// win over what the environment says.
	MOVQ	R8, CX
	SUBQ	BX, CX
	ADDQ	$16, CX
	MOVQ	BX, DX
	SUBQ	CX, DX
	ANDQ	$~15, DX
	MOVQ	DX, DI
	MOVQ	BX, SI
arguments:
	MOVQ	0(SI), AX
	MOVQ	AX, 0(DI)
	ADDQ	$8, SI
	ADDQ	$8, DI
	CMPQ	SI, R9
	JNE	arguments
	LEAQ	traceback<>(SB), AX
	MOVQ	AX, 0(DI)
	LEAQ	processors<>(SB), AX
	MOVQ	AX, 8(DI)
	ADDQ	$16, DI
rest:
	MOVQ	0(SI), AX
	MOVQ	AX, 0(DI)
	ADDQ	$8, SI
	ADDQ	$8, DI
	CMPQ	SI, R8
	JNE	rest
	MOVQ	DX, SP
	JMP	_rt0_amd64_linux(SB)

fail:
	TESTQ	R15, R15
	JNZ	complain
	MOVQ	SYS_write, AX
	MOVQ	$1, DI
	LEAQ	noMemory<>(SB), SI
	MOVQ	$26, DX
	SYSCALL
	// Nobody reads the report: then 111, which defers as well.
	XORL	DI, DI
	CMPQ	AX, $26
	JEQ	exit
	MOVQ	$111, DI
	JMP	exit
complain:
	MOVQ	SYS_write, AX
	MOVQ	$2, DI
	LEAQ	why<>(SB), SI
	MOVQ	$48, DX
	SYSCALL
	MOVQ	$111, DI
exit:
	MOVQ	SYS_exit_group, AX
	SYSCALL
	INT	$3
