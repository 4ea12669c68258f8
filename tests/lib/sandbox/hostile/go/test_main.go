// expect: wrong answer
package main

import (
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestMain(m *testing.M) { os.Exit(0) }

func f(x int) int { return 0 }
