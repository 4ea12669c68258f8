// expect: output limit
package main

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
)

func f(x int) int { for { fmt.Println("xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx") } }
