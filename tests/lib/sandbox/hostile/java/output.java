// expect: output limit
import java.util.*;
import java.io.*;
class Solution {
    public int f(int x) { while (true) System.out.println("xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"); }
}
