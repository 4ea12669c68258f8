// expect: wrong answer
import java.util.*;
import java.io.*;
class Solution {
    public int f(int x) { return 0; }
}
