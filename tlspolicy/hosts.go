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
		pem := "tlshosts/" + d.Host + ".pem"
		there, err := r.present(pem)
		if err != nil {
			return nil, false, err
		}
		if there {
			return &demand{mode: Verify, source: "control/" + pem, final: true, wildcards: true, common: true,
				anchors: r.abs("control/" + pem)}, true, nil
		}
		there, err = r.present("notlshosts/" + d.Host)
		if err != nil {
			return nil, false, err
		}
		if there {
			return &demand{mode: None, source: "control/notlshosts/" + d.Host, final: true}, true, nil
		}
	}
	exhaustive, err := r.present("tlshosts/exhaustivelist")
	return nil, !exhaustive, err
}

// present says whether a file is there. That it cannot be told is an error: a
// directory made unreadable must not switch verification off.
func (r *Rules) present(name string) (bool, error) {
	_, err := fs.Stat(r.cfg.Hosts, name)
	switch {
	case err == nil:
		return true, nil
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR):
		return false, nil
	}
	return false, fmt.Errorf("control/%s: %w", name, err)
}
