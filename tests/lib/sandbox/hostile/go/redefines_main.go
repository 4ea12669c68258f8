// expect: compile error
package main

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func main() {}

func f(x int) int { return 0 }
