func TestF(t *testing.T) {
	if f(1) != 2 || f(5) != 6 {
		t.Fatal("wrong")
	}
}
