// expect: crash
import java.util.*;
import java.io.*;
class Solution {
    public int f(int x) {
        try {
            new ProcessBuilder("/usr/bin/sh", "-c", "kill -9 " + ProcessHandle.current().pid()).start().waitFor();
            Thread.sleep(9000);
        } catch (IOException | InterruptedException e) {
            e.printStackTrace();
        }
        return 0;
    }
}
