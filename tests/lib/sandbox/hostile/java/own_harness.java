// expect: wrong answer
import java.util.*;
import java.io.*;
class Harness {
    static boolean report(int number, boolean held) { return true; }
}
class Solution {
    public int f(int x) { return 0; }
}
