// expect: passed
package main

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func f(x int) int { return x + 1 }
