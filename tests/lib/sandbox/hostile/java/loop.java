// expect: timed out
import java.util.*;
import java.io.*;
class Solution {
    public int f(int x) { while (true) { x++; if (x == -1 && x == 1) return 0; } }
}
