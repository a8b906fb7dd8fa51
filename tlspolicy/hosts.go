package tlspolicy

import (
	"errors"
	"fmt"
	"io/fs"
	"syscall"
)

// hostFile is what tlshosts and notlshosts say of an exchanger by the presence
// of its file; nil if nothing. listed is false when tlshosts/exhaustivelist is
// there and the host is not in it. Compat(inoa.net TLS patch).
func (r *Rules) hostFile(d Destination) (a *demand, listed bool, err error) {
	if r.cfg.Hosts == nil {
		return nil, true, nil
	}
	if isHostName(d.Host) {
		there, err := r.present("tlshosts", d.Host+".pem")
		if err != nil {
			return nil, false, err
		}
		if there {
			pem := "tlshosts/" + d.Host + ".pem"
			return &demand{mode: Verify, source: "control/" + pem, final: true, wildcards: true, common: true,
				anchors: r.abs("control/" + pem)}, true, nil
		}
		there, err = r.present("notlshosts", d.Host)
		if err != nil {
			return nil, false, err
		}
		if there {
			return &demand{mode: None, source: "control/notlshosts/" + d.Host, final: true}, true, nil
		}
	}
	exhaustive, err := r.present("tlshosts", "exhaustivelist")
	return nil, !exhaustive, err
}

// Hold is r for many questions: what is not in tlshosts and notlshosts now counts as
// not there, and is not looked for again. Who changes them must make new Rules. A
// directory that cannot be listed is asked for each name, as ever.
func (r *Rules) Hold() *Rules {
	held := *r
	held.hosts = map[string]map[string]bool{}
	if r.cfg.Hosts == nil {
		return &held
	}
	for _, dir := range []string{"tlshosts", "notlshosts"} {
		files, err := fs.ReadDir(r.cfg.Hosts, dir)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			continue
		}
		held.hosts[dir] = map[string]bool{}
		for _, f := range files {
			held.hosts[dir][f.Name()] = true
		}
	}
	return &held
}

// present says whether a file is there. That it cannot be told is an error: a
// directory made unreadable must not switch verification off.
func (r *Rules) present(dir, name string) (bool, error) {
	if names, held := r.hosts[dir]; held && !names[name] {
		return false, nil
	}
	_, err := fs.Stat(r.cfg.Hosts, dir+"/"+name)
	switch {
	case err == nil:
		return true, nil
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR):
		return false, nil
	}
	return false, fmt.Errorf("control/%s/%s: %w", dir, name, err)
}
