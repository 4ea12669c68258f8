// expect: wrong answer
import java.util.*;
import java.io.*;
class Main { public static void main(String[] a) {} }
class Solution {
    public int f(int x) { return 0; }
}
