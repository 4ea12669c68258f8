// expect: compile error
package main

import (
	"C"
	"testing"

	"github.com/stretchr/testify/assert"
)

func f(x int) int { return x + 1 }
