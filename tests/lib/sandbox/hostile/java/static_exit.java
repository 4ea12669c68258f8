// expect: early exit
import java.util.*;
import java.io.*;
class Solution {
    static { System.exit(0); } public int f(int x) { return 0; }
}
