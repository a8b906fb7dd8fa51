package apart

import (
	"errors"
	"testing"
)

func TestRun(t *testing.T) {
	n := 0
	Run(func() { n++ })
	if n != 1 {
		t.Errorf("ran %d times", n)
	}
}

// A panic stays with whoever called, who can recover from it; in another goroutine
// it would end the process.
func TestPanic(t *testing.T) {
	want := errors.New("odd")
	defer func() {
		if got := recover(); got != want {
			t.Errorf("recovered %v", got)
		}
	}()
	Run(func() { panic(want) })
	t.Error("returned")
}
