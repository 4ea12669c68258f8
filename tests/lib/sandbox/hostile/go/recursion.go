// expect: out of memory
package main

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func f(x int) int { return f(x+1) + 1 }
