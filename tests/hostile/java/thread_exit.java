// expect: early exit|wrong answer|exception
import java.util.*;
import java.io.*;
class Solution {
    static { new Thread(() -> System.exit(0)).start(); } public int f(int x) { return 0; }
}
