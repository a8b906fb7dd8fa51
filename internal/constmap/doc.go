// Package constmap is qmail's constmap: exact and parent-domain look-ups, in a
// list held in memory or in a cdb file.
//
// It knows keys and values and nothing of mail. It alone opens cdb files.
package constmap
