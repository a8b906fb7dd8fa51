// Package routes answers where mail for a host goes: smtproutes (through its
// cdb), authsenders, domainips and qmtproutes.
//
// It knows the files' syntax and look-up orders. It does not know DNS, dialling
// or SMTP.
package routes
