// Package peers knows how to run the programs of others that our mail meets: Postfix, Exim, Unbound, Knot DNS,
// and small tools such as tinycdb's cdb and ucspi-tcp's tcpclient; it must not know what our own programs do.
//
// Nothing is installed. Debian's packages are downloaded and unpacked into .peers under the repository, and laid
// over /usr and /etc in the private mount namespace of the test process, where every compiled-in path and every
// user name is right. A package's tests call Main from TestMain; it downloads what is missing (the only step
// that uses the real network) and then runs the tests in the namespace of internal/nettest.
//
// Working files live in a tmpfs on /run, and every process left over dies with the test binary.
package peers
