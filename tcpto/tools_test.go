package tcpto

import (
	"bytes"
	"os"
	"testing"
)

func TestTools(t *testing.T) {
	r := newRig(t, full4(rec4("192.0.2.1", 2, start), rec4("192.0.2.2", 0, start), rec4("192.0.2.3", 1, start-9)))
	got, err := Read4(r.four)
	if err != nil || len(got) != 2 || got[0].Addr != a || got[0].Count != 2 || got[1].When.Unix() != start-9 {
		t.Errorf("Read4: %v, %v", got, err)
	}
	if err := Clear4(r.four); err != nil || !bytes.Equal(r.read(r.four), full4()) {
		t.Errorf("Clear4: %v", err)
	}
	if got, err := Read6(r.six); got != nil || err != nil {
		t.Errorf("Read6 of no file: %v, %v", got, err)
	}
	if err := Clear6(r.six); err != nil {
		t.Errorf("Clear6 of no file: %v", err)
	}
	if _, err := os.Stat(r.six); !os.IsNotExist(err) {
		t.Error("Clear6 made a file")
	}
	r.table().TimedOut(x)
	if got, err := Read6(r.six); err != nil || len(got) != 1 || got[0].Addr != x {
		t.Errorf("Read6: %v, %v", got, err)
	}
	if err := Clear6(r.six); err != nil || !bytes.Equal(r.read(r.six), make([]byte, 8192)) {
		t.Errorf("Clear6: %v", err)
	}
}
