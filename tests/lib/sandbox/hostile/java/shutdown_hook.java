// expect: wrong answer
import java.util.*;
import java.io.*;
class Solution {
    static { Runtime.getRuntime().addShutdownHook(new Thread(() -> Runtime.getRuntime().halt(0))); } public int f(int x) { return 0; }
}
