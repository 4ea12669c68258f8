// expect: wrong answer
package main

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func f(x int) int { return 0 }
