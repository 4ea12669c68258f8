// expect: wrong answer
package main

import (
	"os/exec"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
)

func f(x int) int {
	command := exec.Command("/usr/bin/sleep", "MARK")
	command.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	command.Start()
	return 0
}
