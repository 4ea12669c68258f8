// expect: early exit
package main

import (
	"runtime"
	"testing"

	"github.com/stretchr/testify/assert"
)

func f(x int) int { runtime.Goexit(); return 0 }
