package fdconn

import (
	"os"
	"testing"
)

func TestFind(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, dir := range []string{"a", "b", "a/prog"} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for file, mode := range map[string]os.FileMode{"b/prog": 0o755, "here": 0o755, "a/text": 0o644} {
		if err := os.WriteFile(file, nil, mode); err != nil {
			t.Fatal(err)
		}
	}
	for reason, c := range map[string]struct{ prog, path, want string }{
		"a directory is no program": {"prog", "a:b", "b/prog"},
		"an empty entry":            {"here", "a::b", "./here"},
		"with a slash":              {"b/prog", "a", "b/prog"},
		"not executable":            {"text", "a:b", "b/text"},
		"not there":                 {"none", "a:b", "b/none"},
		"no path":                   {"sh", "", "/bin/sh"},
	} {
		if got := Find(c.prog, c.path); got != c.want {
			t.Errorf("%s: %s", reason, got)
		}
	}
}
