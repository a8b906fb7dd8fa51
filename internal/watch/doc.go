// Package watch tells cheaply whether any of a set of files has changed.
//
// It asks the kernel to note changes in the files' directories (inotify(7)),
// and each question reads the notes: a change that was made before the question
// is seen by it. What leaves no note (a directory that gives way to another, a
// file behind a symbolic link) is looked at with each question; and all files
// are looked at once a second, for changes that no kernel notes: those of other
// machines in a network file system, or by way of another hard link. Where there
// is no inotify, all files are looked at with each question.
//
// It does not know what is in the files.
package watch
