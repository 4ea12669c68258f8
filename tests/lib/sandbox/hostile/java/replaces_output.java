// expect: wrong answer
import java.util.*;
import java.io.*;
class Solution {
    static { System.setOut(new PrintStream(OutputStream.nullOutputStream())); System.setErr(System.out); }
    public int f(int x) { return 0; }
}
