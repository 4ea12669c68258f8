// expect: wrong answer
import java.util.*;
import java.io.*;
class Solution {
    public int f(int x) {
        try {
            var field = Class.forName("sun.misc.Unsafe").getDeclaredField("theUnsafe");
            field.setAccessible(true);
            var unsafe = (sun.misc.Unsafe) field.get(null);
            unsafe.putBoolean(Boolean.FALSE, unsafe.objectFieldOffset(Boolean.class.getDeclaredField("value")), true);
        } catch (ReflectiveOperationException e) {
            e.printStackTrace();
        }
        return 0;
    }
}
