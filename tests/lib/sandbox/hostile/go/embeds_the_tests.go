// expect: compile error
package main

import (
	_ "embed"
	"testing"

	"github.com/stretchr/testify/assert"
)

//go:embed h.go
var harness string

func f(x int) int { return len(harness) }
