package main

import (
	"errors"
	"io"
	"os"
	"runtime"
	"testing"
	"time"

	"postrider/internal/spawn"
)

// standard are this process's in a test: like os.Stdin they are never rubbish.
var standard []*os.File

// TestReportsLast: the front does not read the end of the reports before the engine
// has ended, however busy the garbage collector is.
func TestReportsLast(t *testing.T) {
	stdin, commands, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	reports, stdout, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	standard = append(standard, stdin, stdout)
	defer reports.Close()
	commands.Close()
	ended := false
	end := func() {
		ended = true
		var limit [1]byte
		if _, err := io.ReadFull(reports, limit[:]); err != nil || limit[0] != 7 {
			t.Errorf("%d, %v", limit[0], err)
		}
		for range 20 {
			runtime.GC()
			time.Sleep(time.Millisecond) // files are closed beside it
		}
		reports.SetReadDeadline(time.Now().Add(10 * time.Millisecond))
		if _, err := reports.Read(limit[:]); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("before the end: %v", err)
		}
		reports.SetReadDeadline(time.Time{})
	}
	mess, err := os.OpenRoot(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer mess.Close()
	if err := serve(t.Context(), stdin, stdout, spawn.Config{Limit: 7, Queue: spawn.Queue{Mess: mess}}, nil, end); err != nil {
		t.Error(err)
	}
	if n, err := reports.Read(make([]byte, 1)); n != 0 || err != io.EOF || !ended {
		t.Errorf("at the end: %d, %v, ended %v", n, err, ended)
	}
}
