// expect: exception
import java.util.*;
import java.io.*;
class Solution {
    public int f(int x) { return f(x + 1) + 1; }
}
