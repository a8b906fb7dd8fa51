// Package ascii folds the case of ASCII letters and of nothing else, as protocols want it: what is wider, strings.ToLower
// or strings.EqualFold, makes a k of U+212A and an s of U+017F. It must not know what its letters mean.
package ascii
