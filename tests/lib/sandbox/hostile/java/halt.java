// expect: early exit
import java.util.*;
import java.io.*;
class Solution {
    public int f(int x) { Runtime.getRuntime().halt(0); return 0; }
}
