package chain

import (
	"runtime"

	"golang.org/x/sys/unix"
)

// lockedMask calls f on a thread that has the signals of set blocked.
func lockedMask(set, old *unix.Sigset_t, f func()) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := unix.PthreadSigmask(unix.SIG_BLOCK, set, old); err != nil {
		panic(err)
	}
	defer unix.PthreadSigmask(unix.SIG_SETMASK, old, nil)
	f()
}
