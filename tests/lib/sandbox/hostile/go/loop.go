// expect: timed out
package main

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func f(x int) int { for { x++ } }
