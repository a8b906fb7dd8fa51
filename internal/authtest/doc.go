// Package authtest is the programs that stand behind qmail-authup in tests: a
// checkpassword with a file of passwords, or that ends as it is told, and a
// server that tells what it was given. They are the test binary itself under
// another name, so that nothing is built for them.
//
// It knows checkpassword's interface. It does not know qmail-authup.
package authtest
