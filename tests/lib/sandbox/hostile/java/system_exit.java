// expect: early exit
import java.util.*;
import java.io.*;
class Solution {
    public int f(int x) { System.exit(0); return 0; }
}
