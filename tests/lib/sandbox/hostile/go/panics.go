// expect: exception
package main

import (
	"testing"
)

func f(x int) int { panic("no") }
