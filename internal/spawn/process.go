package spawn

import (
	"os"
	"syscall"
)

// StartEngine starts the program path as an engine. It ends at the latest when
// the calling thread does: of a front that is killed, no engine goes on
// delivering what the next qmail-rspawn is told to deliver again. So the caller
// is locked to a thread that lives as long as the front, its main one.
func StartEngine(path string, args []string) (*Engine, error) {
	in, commands, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer in.Close()
	reports, out, err := os.Pipe()
	if err != nil {
		commands.Close()
		return nil, err
	}
	defer out.Close()
	p, err := os.StartProcess(path, args, &os.ProcAttr{
		Files: []*os.File{in, out, os.Stderr},
		Sys:   &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL},
	})
	if err != nil {
		commands.Close()
		reports.Close()
		return nil, err
	}
	kill := func() { p.Kill() } // it fails when there is nobody left
	reload := func() { p.Signal(syscall.SIGHUP) }
	return &Engine{Commands: commands, Reports: reports, Kill: kill, Reload: reload, End: func() {
		p.Kill()
		p.Wait()
		commands.Close()
		reports.Close()
	}}, nil
}
