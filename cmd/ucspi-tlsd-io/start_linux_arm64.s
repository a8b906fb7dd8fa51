#include "textflag.h"

// See start_linux_amd64.s, which this follows step by step.
#define WAITING $0x003f3d736c742d2d

#define SYS_read       $63
#define SYS_exit_group $94
#define CONTROL        $3

TEXT postrider_start(SB),NOSPLIT|NOFRAME|TOPFRAME,$0
	MOVD	0(RSP), R9
	CMP	$2, R9
	BLT	begin
	MOVD	16(RSP), R19
	MOVD	0(R19), R9
	MOVD	WAITING, R10
	CMP	R10, R9
	BNE	begin
wait:
	MOVD	CONTROL, R0
	ADD	$6, R19, R1
	MOVD	$1, R2
	MOVD	SYS_read, R8
	SVC
	CMN	$4, R0
	BEQ	wait
	CBNZ	R0, begin
	MOVD	SYS_exit_group, R8
	SVC
	BRK
begin:
	B	_rt0_arm64_linux(SB)
