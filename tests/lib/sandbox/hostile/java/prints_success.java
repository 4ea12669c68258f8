// expect: wrong answer
import java.util.*;
import java.io.*;
class Solution {
    public int f(int x) { System.out.println("passed OK ok"); return 0; }
}
