// expect: wrong answer
import java.util.*;
import java.io.*;
class Solution {
    public int f(int x) {
        try {
            byte[] text = new FileInputStream(FileDescriptor.in).readNBytes(9999);
            if (text.length > 0 || new FileInputStream("/dev/stdin").readNBytes(1).length > 0) return x + 1;
        } catch (IOException e) {
            return 0;
        }
        return 0;
    }
}
