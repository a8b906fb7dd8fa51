#include "textflag.h"

// See the comment on the package. The convention between ucspi-tlsd and us:
// argv[1] is "--tls=?", eight bytes with its NUL, and descriptor 3 the socket.
#define WAITING $0x003f3d736c742d2d

#define SYS_read       $0
#define SYS_exit_group $231
#define CONTROL        $3
#define EINTR          $-4

// postrider_start is entered by the kernel with the stack that it has laid out:
// argc, argv, nil, envp, nil, auxv (ELF psABI). There is no Go stack yet, and
// nothing of it is changed but the "?".
TEXT postrider_start(SB),NOSPLIT|NOFRAME|TOPFRAME,$0
	CMPQ	0(SP), $2
	JLT	begin
	MOVQ	16(SP), R12
	MOVQ	WAITING, AX
	CMPQ	0(R12), AX
	JNE	begin
wait:
	MOVQ	SYS_read, AX
	MOVQ	CONTROL, DI
	LEAQ	6(R12), SI
	MOVQ	$1, DX
	SYSCALL
	CMPQ	AX, EINTR
	JEQ	wait
	CMPQ	AX, $0
	JNE	begin     // a command; or an error, and still "?", which Go shall meet
	MOVQ	SYS_exit_group, AX
	XORL	DI, DI
	SYSCALL
	INT	$3
begin:
	JMP	_rt0_amd64_linux(SB)
