// expect: forged
import java.util.*;
import java.io.*;
class Solution {
    public int f(int x) throws RuntimeException {
        try {
            var field = Class.forName("Harness").getDeclaredField("secret");
            field.setAccessible(true);
            var out = new FileOutputStream(FileDescriptor.out);
            out.write((field.get(null) + "done0").getBytes());
            out.write((field.get(null) + "done1").getBytes());
        } catch (Exception e) {
            e.printStackTrace();
        }
        Runtime.getRuntime().halt(0);
        return 0;
    }
}
