// expect: early exit
import java.util.*;
import java.io.*;
class Leaver extends Thread {
    public void run() { System.exit(0); }
}
class Solution {
    static { Thread t = new Leaver(); t.start(); try { t.join(); } catch (InterruptedException e) { } } public int f(int x) { return 0; }
}
