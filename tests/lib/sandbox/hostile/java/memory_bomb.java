// expect: out of memory
import java.util.*;
import java.io.*;
class Solution {
    public int f(int x) { List<byte[]> l = new ArrayList<>(); while (true) { byte[] b = new byte[1 << 24]; Arrays.fill(b, (byte) 1); l.add(b); } }
}
