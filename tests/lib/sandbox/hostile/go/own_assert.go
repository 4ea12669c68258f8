// expect: wrong answer
package main

import (
	"testing"
)

type yes struct{}

func (yes) New(t *testing.T) yes              { return yes{} }
func (yes) Equal(a, b any, more ...any) bool { return true }

var assert yes

func f(x int) int { return 0 }
