// expect: wrong answer
import java.util.*;
import java.io.*;
class Solution {
    public int f(int x) {
        try {
            new ProcessBuilder("/usr/bin/setsid", "/usr/bin/sleep", "MARK").start();
        } catch (IOException e) {
            e.printStackTrace();
        }
        return 0;
    }
}
