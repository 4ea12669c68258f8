// expect: wrong answer
import java.util.*;
import java.io.*;
class Solution {
    public int f(int x) { try { new FileReader("SECRET").read(); return x + 1; } catch (IOException e) { return 0; } }
}
