// expect: early exit
package main

import (
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
)

func init() { os.Exit(0) }

func f(x int) int { return 0 }
